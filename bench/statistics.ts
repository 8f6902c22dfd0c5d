/** What is said about a series of measurements. */

/** NaN for no samples. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function smallest(samples: readonly number[]): number {
  return Math.min(...samples);
}

export function largest(samples: readonly number[]): number {
  return Math.max(...samples);
}
