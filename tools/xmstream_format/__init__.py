# SPDX-License-Identifier: Apache-2.0
"""The stream of docs/stream.md, read independently of xmigrate's own code."""
