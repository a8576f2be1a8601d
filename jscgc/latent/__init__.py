"""Image autoencoders behind one face, and the normalised latent space on which everything else works."""
