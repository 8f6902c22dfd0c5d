/** How the keys of the keyboard lead through a square of cells. Pure. */
export interface CellPlace {
  readonly row: number;
  readonly column: number;
}

/** null: the key leads nowhere else. @param size - cells a side */
export function cellAfter({ row, column }: CellPlace, key: string, size: number): CellPlace | null {
  const next = { row, column };
  switch (key) {
    case 'ArrowUp':
      next.row--;
      break;
    case 'ArrowDown':
      next.row++;
      break;
    case 'ArrowLeft':
      next.column--;
      break;
    case 'ArrowRight':
      next.column++;
      break;
    case 'Home':
      next.column = 0;
      break;
    case 'End':
      next.column = size - 1;
      break;
    default:
      return null;
  }
  const isInside = [next.row, next.column].every((at) => at >= 0 && at < size);
  return isInside && (next.row !== row || next.column !== column) ? next : null;
}
