"""What a region is made of, as Pulumi components."""
