#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use super::checkpoint::{CheckpointKey, CheckpointVerifier, SignedCheckpoint, origin_of};
use super::merkle::{
    Frontier, LeafHashes, MerkleError, consistency, empty_root, inclusion, leaf_hash, node_hash,
    root,
};
use super::proof::{ProofError, verify_consistency, verify_inclusion};
use crate::canonical::Digest;
use crate::keys::SecretKey;

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap()
}

/// Every proof is made and verified up to this size.
const ALL: u64 = 256;

/// All leaf hashes, and the roots of the whole subtrees over them: made once, for many proofs.
struct Levels(Vec<Vec<Digest>>);

impl Levels {
    fn new(leaves: &[Digest]) -> Self {
        let mut levels = vec![leaves.to_vec()];
        while let Some(row) = levels.last().filter(|row| row.len() > 1) {
            let pairs = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1]));
            levels.push(pairs.collect());
        }
        Self(levels)
    }
}

impl LeafHashes for Levels {
    fn len(&self) -> u64 {
        self.0[0].len() as u64
    }

    fn leaf_hash(&self, index: u64) -> Result<Digest, MerkleError> {
        Ok(self.0[0][index as usize])
    }

    fn subtree(&self, level: u32, index: u64) -> Result<Option<Digest>, MerkleError> {
        Ok(self.0.get(level as usize).and_then(|row| row.get(index as usize)).copied())
    }
}

/// Up to this size every change of every proof is tried too.
fn most() -> u64 {
    if std::env::var("ANSWERABLE_CASES").is_ok_and(|cases| cases == "full") { 256 } else { 64 }
}

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

#[test]
fn known_trees() {
    assert_eq!(
        HEXLOWER.encode(&empty_root()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(
        HEXLOWER.encode(&leaf_hash(b"")),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
    // The test tree of the Certificate Transparency project.
    let inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::new();
    for (input, root) in inputs.iter().zip(roots) {
        frontier.append(leaf_hash(&hex(input))).unwrap();
        assert_eq!(HEXLOWER.encode(&frontier.root()), root);
    }
}

#[test]
fn a_frontier_has_one_stored_form() {
    let mut frontier = Frontier::new();
    for (size, leaf) in leaves(300).into_iter().enumerate() {
        let bytes = frontier.to_bytes();
        assert_eq!(Frontier::from_bytes(&bytes).unwrap(), frontier);
        assert_eq!(frontier.size(), size as u64);
        assert_eq!(frontier.root(), root(leaves(300).as_slice(), size as u64).unwrap());
        assert!(Frontier::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Frontier::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        frontier.append(leaf).unwrap();
    }
    let full = [&(1u64 << 48).to_be_bytes()[..], &[1; 32]].concat();
    assert_eq!(Frontier::from_bytes(&full).unwrap().append([0; 32]), Err(MerkleError::Full));
    let beyond = [&((1u64 << 48) + 1).to_be_bytes()[..], &[1; 64]].concat();
    assert!(Frontier::from_bytes(&beyond).is_err());
}

#[test]
fn every_inclusion_proof_verifies_and_no_other_place_does() {
    let leaves = leaves(ALL);
    let all = &Levels::new(&leaves);
    for size in 1..=ALL {
        let root = root(leaves.as_slice(), size).unwrap();
        for index in 0..size {
            let leaf = leaves[index as usize];
            let path = inclusion(all, index, size).unwrap();
            verify_inclusion(&leaf, index, size, &path, &root).unwrap();
            if size > most() {
                continue;
            }
            for (other, size) in
                [(index + 1, size), (index ^ 1, size), (index, 0), (size, size), (u64::MAX, size)]
            {
                assert!(verify_inclusion(&leaf, other, size, &path, &root).is_err());
            }
            let longer = [&path[..], &[[0; 32]]].concat();
            assert!(verify_inclusion(&leaf, index, size, &longer, &root).is_err());
            for at in 0..path.len() {
                let mut changed = path.clone();
                changed[at][at % 32] ^= 1;
                let refused = verify_inclusion(&leaf, index, size, &changed, &root);
                assert!(matches!(refused, Err(ProofError::Root { .. })));
                let shorter = [&path[..at], &path[at + 1..]].concat();
                assert!(verify_inclusion(&leaf, index, size, &shorter, &root).is_err());
            }
        }
        assert!(inclusion(all, size, size).is_err());
    }
    assert!(inclusion(all, 0, ALL + 1).is_err());
}

#[test]
fn every_consistency_proof_verifies_and_no_other_sizes_do() {
    let leaves = leaves(ALL);
    let all = &Levels::new(&leaves);
    let roots: Vec<Digest> = (0..=ALL).map(|size| root(leaves.as_slice(), size).unwrap()).collect();
    for new in 1..=ALL {
        assert!(consistency(all, 0, new).is_err());
        let new_root = &roots[new as usize];
        assert!(verify_consistency(0, &empty_root(), new, new_root, &[]).is_err());
        for old in 1..=new {
            let old_root = &roots[old as usize];
            let path = consistency(all, old, new).unwrap();
            verify_consistency(old, old_root, new, new_root, &path).unwrap();
            if new > most() {
                continue;
            }
            let longer = [&path[..], &[[0; 32]]].concat();
            assert!(verify_consistency(old, old_root, new, new_root, &longer).is_err());
            assert!(verify_consistency(new, old_root, old, new_root, &path).is_err() || old == new);
            assert!(verify_consistency(old, &[0; 32], new, new_root, &path).is_err());
            assert!(verify_consistency(old, old_root, new, &[0; 32], &path).is_err());
            for at in 0..path.len() {
                let mut changed = path.clone();
                changed[at][at % 32] ^= 1;
                assert!(verify_consistency(old, old_root, new, new_root, &changed).is_err());
                let shorter = [&path[..at], &path[at + 1..]].concat();
                assert!(verify_consistency(old, old_root, new, new_root, &shorter).is_err());
            }
        }
    }
}

#[test]
fn roots_and_proofs_are_those_of_another_implementation() {
    let count = most().min(130);
    let mut theirs: MemoryBackedTree<sha2::Sha256, Vec<u8>> = MemoryBackedTree::new();
    let leaves = leaves(count);
    let all = leaves.as_slice();
    for size in 1..=count {
        theirs.push((size - 1).to_be_bytes().to_vec());
        assert_eq!(theirs.root().as_bytes()[..], root(all, size).unwrap());
        for index in 0..size {
            let proof = theirs.prove_inclusion(index as usize);
            assert_eq!(proof.as_bytes(), inclusion(all, index, size).unwrap().concat());
        }
        for old in 1..size {
            let proof = theirs.prove_consistency((size - old) as usize);
            assert_eq!(proof.as_bytes(), consistency(all, old, size).unwrap().concat());
        }
    }
}

#[test]
fn kept_subtrees_are_used() {
    struct Kept(Vec<Digest>);
    impl LeafHashes for Kept {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn leaf_hash(&self, index: u64) -> Result<Digest, MerkleError> {
            // Below level 3 only the ragged right edge is read.
            assert!(index >= 24);
            self.0.as_slice().leaf_hash(index)
        }
        fn subtree(&self, level: u32, index: u64) -> Result<Option<Digest>, MerkleError> {
            if level != 3 {
                return Ok(None);
            }
            let first = (index << 3) as usize;
            root(&self.0[first..first + 8], 8).map(Some)
        }
    }
    let leaves = leaves(29);
    assert_eq!(root(&Kept(leaves.clone()), 29), root(leaves.as_slice(), 29));
}

#[test]
fn checkpoints_print_parse_and_verify() {
    let authority = SecretKey::from_seed(&[1; 32]).unwrap().public();
    let key = CheckpointKey::from_seed(&origin_of(&authority), &[2; 32]).unwrap();
    assert!(!format!("{key:?}").contains('+'));
    let text = key.verifier().to_string();
    assert_eq!(&CheckpointVerifier::parse(&text).unwrap(), key.verifier());
    let signed = key.sign(7, [9; 32]);
    let again = SignedCheckpoint::parse(signed.text()).unwrap();
    assert_eq!(again, signed);
    assert_eq!(again.verify(key.verifier()).unwrap().size, 7);
    let other = CheckpointKey::from_seed(key.verifier().name(), &[3; 32]).unwrap();
    assert!(again.verify(other.verifier()).is_err());
    // Any flipped bit fails to parse or to verify.
    for at in (0..signed.text().len() * 8).step_by(5) {
        let mut bytes = signed.text().as_bytes().to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let parsed = SignedCheckpoint::parse(&text);
        assert!(parsed.is_err() || parsed.unwrap().verify(key.verifier()).is_err(), "{at}");
    }
    assert!(CheckpointKey::from_seed("a name", &[2; 32]).is_err());
    assert!(CheckpointKey::from_seed("name", &[0; 32]).is_err());
}

#[test]
fn the_published_verifier_key_of_signed_note_parses() {
    let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let key = CheckpointVerifier::parse(text).unwrap();
    assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", text));
}

/// The checkpoint that C2SP's tlog-cosignature shows, with a cosignature; and one that was really
/// signed: by Go's checksum database, whose key is public.
#[test]
fn published_checkpoints_are_read_as_they_mean() {
    let example = concat!(
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n",
        "\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4U",
        "RYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n",
        "\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB",
        "9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n",
    );
    let read = SignedCheckpoint::parse(example).unwrap();
    assert_eq!(read.claimed().origin, "example.com/behind-the-sofa");
    assert_eq!(read.claimed().size, 20_852_163);
    let lines: Vec<_> = read.signatures().collect();
    let [(_, own), (witness, blob)] = &lines[..] else { panic!() };
    assert_eq!((own.len(), *witness, blob.len()), (4 + 64, "witness.example.com/w1", 4 + 8 + 64));
    assert_eq!(blob[4..12], 1_679_315_147_u64.to_be_bytes());

    let key = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let key = CheckpointVerifier::parse(key).unwrap();
    let real = concat!(
        "go.sum database tree\n49189689\nftjbAOzaupaIvaPo/G+Dk63nxOZ2s1OPOKIaPtXs7S4=\n\n",
        "\u{2014} sum.golang.org Az3grlKZssqRoMNPpZfKt0TphbbcF+pzXqElURJKRNFKfaUAgqeI5k2AORH0QAhg/e",
        "bRwyIqD/OqP4oLtLnNumvOBAM=\n",
    );
    let read = SignedCheckpoint::parse(real).unwrap();
    let lines: Vec<_> = read.signatures().collect();
    let [(name, blob)] = &lines[..] else { panic!() };
    assert_eq!((*name, &blob[..4]), ("sum.golang.org", &[0x03, 0x3d, 0xe0, 0xae][..]));
    let public =
        data_encoding::BASE64.decode(key.to_string().splitn(3, '+').nth(2).unwrap().as_bytes());
    let public: [u8; 32] = public.map_or_else(|_| panic!(), |bytes| bytes[1..].try_into().unwrap());
    let public = ed25519_dalek::VerifyingKey::from_bytes(&public).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(&blob[4..]).unwrap();
    public.verify_strict(read.claimed().body().as_bytes(), &signature).unwrap();
    // A log of ours signs under its own name alone.
    assert!(read.verify(&key).is_err());
}
