/**
 * What each two VMs have in common, as a matrix.
 *
 * Must hold: every value can be had without a pointer that hovers: one cell is in the order of Tab, arrow keys lead to the others, and
 * the line above names the one that was chosen, by key, click or touch.
 */
import { useState } from 'react';
import type { CommonPairView } from '../../src/api/fleet-plan-schema.ts';
import { Panel } from '../parts/panel.tsx';
import { cellColours } from './cell-colours.ts';
import { type CellPlace, cellAfter } from './matrix-moves.ts';

/** A larger matrix can't be read; the list has the pairs that matter. */
const MOST_VMS = 40;
/** Numbers in the cells fit up to here. */
const MOST_NUMBERED = 16;
/** Of two VMs, where nobody has chosen yet. */
const FIRST: CellPlace = { row: 0, column: 1 };

export function CommonMatrix({ pairs }: { pairs: readonly CommonPairView[] }): React.JSX.Element {
  const [chosen, setChosen] = useState<CellPlace | null>(null);
  const names: string[] = [];
  // The most alike come first, so that those that are alike stand together.
  for (const { a, b } of pairs) {
    for (const name of [a, b]) if (!names.includes(name)) names.push(name);
  }
  const shown = names.slice(0, MOST_VMS);
  const parts = new Map(
    pairs.flatMap(({ a, b, part }) => [[`${a} ${b}`, part] as const, [`${b} ${a}`, part] as const]),
  );
  const percentOf = (row: string, column: string): number | null =>
    row === column ? null : Math.round(100 * (parts.get(`${row} ${column}`) ?? 0));
  // The VMs may have become fewer since.
  const stop = chosen !== null && Math.max(chosen.row, chosen.column) < shown.length ? chosen : FIRST;
  const move = (event: React.KeyboardEvent<HTMLTableElement>): void => {
    const next = cellAfter(stop, event.key, shown.length);
    if (next === null) return;
    // Else the page is scrolled by the same key.
    event.preventDefault();
    event.currentTarget.tBodies[0]?.rows[next.row]?.cells[next.column + 1]?.focus();
  };
  const isNumbered = shown.length <= MOST_NUMBERED;
  return (
    <Panel
      title="Matrix"
      aside={
        shown.length < names.length
          ? `the ${shown.length} most alike of ${names.length} VMs`
          : 'part of the smaller one’s contents'
      }
      flush
    >
      <p className="matrix-chosen">
        {chosen === null || stop !== chosen
          ? 'Choose a cell: its VMs are named here.'
          : told(shown[stop.row]!, shown[stop.column]!, percentOf)}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: a grid of cells that arrow keys go through may be a table (ARIA APG) */}
      <table className={isNumbered ? 'matrix' : 'matrix fine'} role="grid" aria-label="In common" onKeyDown={move}>
        <thead>
          <tr>
            <td />
            {shown.map((name) => (
              <th key={name} scope="col">
                <span>{name}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((name, row) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {shown.map((other, column) => (
                <Cell
                  key={other}
                  title={told(name, other, percentOf)}
                  percent={percentOf(name, other)}
                  isNumbered={isNumbered}
                  isStop={row === stop.row && column === stop.column}
                  choose={() => setChosen({ row, column })}
                />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

function Cell(props: {
  title: string;
  /** null: it is the same VM. */
  percent: number | null;
  isNumbered: boolean;
  /** Whether Tab leads to it. */
  isStop: boolean;
  choose: () => void;
}): React.JSX.Element {
  const { title, percent, isNumbered, isStop, choose } = props;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the keys lead to it, and it is chosen by being in focus
    <td
      tabIndex={isStop ? 0 : -1}
      className={percent === null ? 'self' : undefined}
      title={title}
      style={percent === null ? undefined : { ...cellColours(percent) }}
      onFocus={choose}
      // A touch does not give the focus to what is no control, everywhere.
      onClick={choose}
    >
      {percent !== null && isNumbered ? (
        percent
      ) : (
        <span className="unseen">{percent === null ? title : `${percent} %`}</span>
      )}
    </td>
  );
}

function told(row: string, column: string, percentOf: (row: string, column: string) => number | null): string {
  const percent = percentOf(row, column);
  return percent === null ? `${row} itself` : `${row} and ${column}: ${percent} %`;
}
