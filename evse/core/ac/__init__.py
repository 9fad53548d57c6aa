"""The AC side of the core: pilot, contactors, lock, residual current, limits; one small module for each."""
