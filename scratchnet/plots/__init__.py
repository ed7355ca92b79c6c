"""Pictures: `style` is the house style; every other file draws one family of pictures."""
