"""What all commands share: their options, which hub they speak to, how they answer."""
