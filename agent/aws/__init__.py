"""The agent at Amazon: a VPC's route tables know no dead gateway, so the gateways move the routes themselves."""
