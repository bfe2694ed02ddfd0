"""PP-LCNet in Paddle, as the authors deploy it, with the names of the original's state dict."""

from __future__ import annotations

from typing import Any

from paddle import nn

STAGES = {
    "blocks2": [(3, 16, 32, 1, False)],
    "blocks3": [(3, 32, 64, 2, False), (3, 64, 64, 1, False)],
    "blocks4": [(3, 64, 128, 2, False), (3, 128, 128, 1, False)],
    "blocks5": [(3, 128, 256, 2, False), *[(5, 256, 256, 1, False)] * 5],
    "blocks6": [(5, 256, 512, 2, True), (5, 512, 512, 1, True)],
}


def width(channels: float, scale: float) -> int:
    """The number of channels at a scale, a multiple of 8."""
    rounded = max(8, int(channels * scale + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels * scale else rounded


class ConvBN(nn.Layer):
    """Convolution, BatchNorm, hard-swish."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2D(
            inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias_attr=False
        )
        self.bn = nn.BatchNorm2D(outputs)
        self.act = nn.Hardswish()

    def forward(self, x: Any) -> Any:
        return self.act(self.bn(self.conv(x)))


class SqueezeExcite(nn.Layer):
    """Channels weighted by a gate computed over all positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.conv1 = nn.Conv2D(channels, channels // 4, 1)
        self.conv2 = nn.Conv2D(channels // 4, channels, 1)

    def forward(self, x: Any) -> Any:
        gate = nn.functional.relu(self.conv1(self.pool(x)))
        return x * nn.functional.hardsigmoid(self.conv2(gate))


class Block(nn.Layer):
    """Depthwise, optionally squeeze-and-excite, pointwise."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, has_se: bool) -> None:
        super().__init__()
        self.dw_conv = ConvBN(inputs, inputs, kernel, stride, groups=inputs)
        self.se = SqueezeExcite(inputs) if has_se else nn.Identity()
        self.pw_conv = ConvBN(inputs, outputs, 1, 1)

    def forward(self, x: Any) -> Any:
        return self.pw_conv(self.se(self.dw_conv(x)))


class PPLCNet(nn.Layer):
    """The network, to logits."""

    def __init__(self, scale: float, classes: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(3, width(16, scale), 3, 2)
        for name, blocks in STAGES.items():
            layers = [
                Block(width(inputs, scale), width(outputs, scale), kernel, stride, has_se)
                for kernel, inputs, outputs, stride, has_se in blocks
            ]
            setattr(self, name, nn.Sequential(*layers))
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.last_conv = nn.Conv2D(width(512, scale), 1280, 1, bias_attr=False)
        self.fc = nn.Linear(1280, classes)

    def forward(self, x: Any) -> Any:
        x = self.conv1(x)
        for name in STAGES:
            x = getattr(self, name)(x)
        x = nn.functional.hardswish(self.last_conv(self.avg_pool(x)))
        return self.fc(x.flatten(1))
