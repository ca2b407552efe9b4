//! Cases made by hand to part the two.
