"""Networks, their taps and their heads; torchvision, which takes seconds to import, comes with fig.networks.table."""
