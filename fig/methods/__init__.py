"""Methods: each turns a batch of ID images into a loss."""
