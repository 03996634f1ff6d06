"""From samples to statements: metrics, bootstrap intervals, comparisons, decisions, occlusion."""
