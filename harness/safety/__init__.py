"""What an artifact lets others do: run code when it is loaded, be damaged unnoticed, be read without Python."""
