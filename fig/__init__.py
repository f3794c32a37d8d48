"""FIG: draw from a classifier the inputs on which it is confidently wrong, and fine-tune it on them."""
