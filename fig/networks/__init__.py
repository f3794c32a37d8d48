"""Networks, their taps and their heads; fig.networks.table lists them."""

SMALL = 64  # images of fewer pixels a side get the stem that keeps their resolution
