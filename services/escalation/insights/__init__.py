"""What turns come to: counts, figures, the rows behind them, what another policy would do, what is proven."""
