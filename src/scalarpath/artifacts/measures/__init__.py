"""One file per physical measure."""
