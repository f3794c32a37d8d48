"""Networks, their taps and their heads; fig.networks.table lists them."""
