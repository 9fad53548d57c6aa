"""Scripts of the house: generators and checks, not shipped."""
