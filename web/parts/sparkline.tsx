/** A few dozen values as a line as high as a row of text. */
export function Sparkline({ values, label }: { values: readonly number[]; label: string }): React.JSX.Element | null {
  if (values.length < 2) return null;
  const most = Math.max(...values, 1);
  const step = 118 / (values.length - 1);
  const path = values.map(
    (value, index) => `${(1 + index * step).toFixed(1)} ${(22 - (20 * value) / most).toFixed(1)}`,
  );
  return (
    <svg className="spark" viewBox="0 0 120 24" role="img" aria-label={label} preserveAspectRatio="none">
      <path d={`M${path.join('L')}`} />
    </svg>
  );
}
