"""Commands, requests and files of how-to's and reference: all that their pages show and that is not Python."""
