"""What a stack file may say (schema, pure) and how it is read (load, the only reader of pulumi.Config)."""
