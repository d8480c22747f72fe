"""Which images of a long recording are looked at: bursts of neighbours, all over it."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 30  # images
RATE = 10.0  # images a second within a burst: 30 of them see a slow robot go somewhere
PLACES = 5  # bursts at least; few images make short ones


@dataclass(frozen=True)
class Bursts:
    """A choice of images by their number in the recording.

    Attributes:
        length: images of a burst.
        step: from one image of a burst to the next; period: from one burst to the next.
    """

    length: int
    step: int
    period: int

    @classmethod
    def of(cls, images: int, seconds: float, most: int, neighbours: bool) -> Bursts:
        """At most `most` of so many images that were taken in so many seconds.

        Args:
            neighbours: whether somebody compares an image with those before; where nobody does, single images are
                spread evenly, which see more places.
        """
        if images <= most:
            return cls(max(1, images), 1, max(1, images))
        length = min(LONGEST, max(1, most // PLACES)) if neighbours else 1
        period = -(-images // (most // length))
        rate = images / seconds if seconds > 0 else RATE
        return cls(length, max(1, min(round(rate / RATE), period // length)), period)

    def takes(self, index: int) -> bool:
        place = index % self.period
        return place % self.step == 0 and place < self.length * self.step

    def begins(self, index: int) -> bool:
        """Whether images were left out before this one that it would have to be compared with."""
        return index % self.period == 0 and self.period > self.length * self.step
