"""Programs of other people that prepare the drivers of guests: what they are asked, how they run, a kit that tries them."""
