/** The containers of the page: a panel with its title, a row of figures, a list of facts. */
import { useId } from 'react';

export function Panel(props: {
  title: string;
  aside?: React.ReactNode;
  actions?: React.ReactNode;
  /** Without room around it: for tables. */
  flush?: boolean;
  children: React.ReactNode;
}): React.JSX.Element {
  const id = useId();
  return (
    <section className="panel" aria-labelledby={id}>
      <header>
        <h2 id={id}>{props.title}</h2>
        {props.aside === undefined ? null : <span className="aside">{props.aside}</span>}
        {props.actions === undefined ? null : <div className="actions">{props.actions}</div>}
      </header>
      {props.flush === true ? (
        <div className="scroll">{props.children}</div>
      ) : (
        <div className="panel-body">{props.children}</div>
      )}
    </section>
  );
}

export interface Figure {
  readonly name: string;
  readonly value: React.ReactNode;
  readonly detail?: React.ReactNode;
}

export function Figures({ items }: { items: readonly Figure[] }): React.JSX.Element {
  return (
    <dl className="figures">
      {items.map(({ name, value, detail }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {value}
            {detail === undefined ? null : <small>{detail}</small>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

export function Facts({ items }: { items: readonly (readonly [string, React.ReactNode])[] }): React.JSX.Element {
  return (
    <dl className="facts">
      {items.map(([name, value]) => (
        <div key={name} style={{ display: 'contents' }}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** The title of a page; takes the focus when the page comes, so that a screen reader says where one is. */
export function PageHead(props: {
  title: string;
  crumbs?: React.ReactNode;
  chip?: React.ReactNode;
  actions?: React.ReactNode;
  lead?: React.ReactNode;
}): React.JSX.Element {
  return (
    <div className="page-head">
      {props.crumbs === undefined ? null : (
        <nav className="crumbs" aria-label="Where you are">
          {props.crumbs}
        </nav>
      )}
      <h1 tabIndex={-1}>{props.title}</h1>
      {props.chip}
      {props.actions === undefined ? null : <div className="actions">{props.actions}</div>}
      {props.lead === undefined ? null : <p className="lead">{props.lead}</p>}
    </div>
  );
}
