"""Plots: `style` is the house style; every other file draws one family of plots."""
