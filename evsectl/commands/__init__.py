"""One module per noun; imported when the noun is named."""
