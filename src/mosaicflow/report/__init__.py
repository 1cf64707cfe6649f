"""What a run says about itself: how far to trust it, in one page, one record and one guide."""
