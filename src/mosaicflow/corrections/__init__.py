"""Places that people correct by hand: what they are shown, and what they hand back."""
