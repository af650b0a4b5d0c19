"""What the product costs, next to what it could cost: ratios are printed, nothing is asserted."""
