"""An inventory API whose long calls can be answered later."""
