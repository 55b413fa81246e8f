"""From a submission to a score: collection, seeds, the policy's host and rollouts."""
