//! Cedar corpus.
