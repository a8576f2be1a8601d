"""Systems: photo in, received photo out. Every method is one, so all share the channel, the accounting and the evaluation."""
