"""What is known of the listed networks beside their layers: published accuracy, and where encoder weights are."""
