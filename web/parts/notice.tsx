/** What a person is told beside the numbers: an error with its fix, a warning, a success. */
import { asGodwitError, fixOf } from '../../src/base/errors.ts';

export type NoticeTone = 'good' | 'warn' | 'bad' | 'calm';

/** @param live - whether screen readers say it when it appears */
export function Notice(props: {
  tone: NoticeTone;
  title?: string;
  live?: boolean;
  children?: React.ReactNode;
}): React.JSX.Element {
  const { tone, title, live = false, children } = props;
  const role = live ? (tone === 'bad' ? 'alert' : 'status') : undefined;
  return (
    <div className={`notice ${tone}`} role={role}>
      {title === undefined ? null : <strong>{title}</strong>}
      {children}
    </div>
  );
}

/** An error that was thrown, or came with an answer, and what to do about it. */
export function ErrorNotice({ error, title }: { error: unknown; title?: string }): React.JSX.Element {
  const known = asGodwitError(error);
  const fix = fixOf(known);
  return (
    <Notice tone="bad" live {...(title === undefined ? {} : { title })}>
      <span>{sentence(known.message)}</span>
      {fix === undefined ? null : <span>To fix it: {sentence(fix)}</span>}
      <code className="small soft">{known.code}</code>
    </Notice>
  );
}

/** With a full stop; the first word may be a name, and stays as it is. */
export function ended(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

export function sentence(text: string): string {
  const full = ended(text);
  return full.charAt(0).toUpperCase() + full.slice(1);
}
