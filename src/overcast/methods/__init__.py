"""Training methods: named losses and a deployable network each."""
