"""From aligned slices to one volume: sampling, seams, blending."""
