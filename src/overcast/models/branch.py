"""One encoder-decoder."""

from __future__ import annotations

from collections.abc import Sequence

from segmentation_models_pytorch.base import initialization
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from overcast.models.blocks import ConvBlock
from overcast.models.encoders import build_encoder


class Branch(nn.Module):
    """Encoder F_en-1 .. F_en-5 and U-Net decoder F_de of one sensor.

    A wide encoder's F_en-5 is first projected to `deepest_channels` (1x1 convolution block); what is called deepest
    feature everywhere is the projected one, and the decoder is built for it.
    """

    def __init__(
        self,
        encoder: str,
        in_channels: int,
        decoder_channels: Sequence[int],
        *,
        pretrained: bool,
        deepest_channels: int | None = None,
        encoder_blocks: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder, in_channels, pretrained=pretrained, blocks=encoder_blocks)
        widths: list[int] = list(self.encoder.out_channels)  # type: ignore[arg-type]
        self.projection: nn.Module = nn.Identity()
        if deepest_channels is not None:
            self.projection = ConvBlock(widths[-1], deepest_channels, kernel_size=1)
            widths[-1] = deepest_channels
        self.encoder_channels = tuple(widths)
        """Channels of what `encode` returns, the input first."""
        self.decoder_channels = decoder_channels[-1]
        """D, channels of what `decode` returns."""
        self.decoder = UnetDecoder(widths, tuple(decoder_channels), n_blocks=len(decoder_channels))
        initialization.initialize_decoder(self.decoder)

    def encode(self, x: Tensor) -> list[Tensor]:
        """[x, F_en-1, .., F_en-5] of (B, C, H, W), H and W multiples of 32; the last one projected."""
        features: list[Tensor] = self.encoder(x)
        return [*features[:-1], self.projection(features[-1])]

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        """F_de from the six entries of `encode`; of the first only the size counts.

        (B, D, H, W) of five decoder stages, (B, D, H / 2, W / 2) of four.
        """
        decoded: Tensor = self.decoder(list(features))
        return decoded
