"""The vocabulary of the product: frozen types and enums without behaviour.

All types are frozen ``msgspec`` Structs: cheap to create in the 50 ms loop, and the recorder, the
API and the storage encode them without a second description.
"""
