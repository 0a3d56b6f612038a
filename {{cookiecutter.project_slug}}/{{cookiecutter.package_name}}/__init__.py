"""The science of this project: one module per DVC stage, plus what stages share."""
