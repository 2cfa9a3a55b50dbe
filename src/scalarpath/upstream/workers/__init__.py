"""Scripts that run in the environments of other packages; the package itself imports none of them."""
