"""What a team allows itself: rules in Rego, asked about a plan before anybody applies it."""
