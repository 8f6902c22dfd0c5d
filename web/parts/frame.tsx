/**
 * The frame around every page: where one is, how the connection is, the theme.
 *
 * Must hold: a new page takes the focus at its title, so that keyboard and screen reader go on from there.
 */
import { useEffect, useRef } from 'react';
import type { GodwitError } from '../../src/base/errors.ts';
import { accessToken } from '../session/access-token.ts';
import type { LinkedState } from '../session/live-store.ts';
import { linkToFleet, useRoute } from '../session/route.ts';
import { THEMES, type Theme, useTheme } from '../session/theme.ts';
import { ErrorNotice, Notice } from './notice.tsx';
import { Chip } from './state-chip.tsx';

const THEME_NAMES: Readonly<Record<Theme, string>> = {
  system: 'Theme: as the system',
  light: 'Theme: light',
  dark: 'Theme: dark',
};

export interface PageLink {
  readonly href: string;
  readonly text: string;
  readonly isHere: boolean;
}

export function Frame(props: {
  link: LinkedState['link'];
  name: string;
  pages: readonly PageLink[];
  /** null: nobody is signed in. */
  signOut: (() => void) | null;
  children: React.ReactNode;
}): React.JSX.Element {
  const route = useRoute();
  const where = route.join('/');
  const title = [...route].reverse().join(' · ') || 'Overview';
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each page
  useEffect(() => {
    // The first page leaves the focus to the browser.
    if (!isFirst.current) main.current?.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
    isFirst.current = false;
    window.scrollTo(0, 0);
    document.title = `${title} – godwit`;
  }, [where]);
  return (
    <>
      <button type="button" className="skip" onClick={() => main.current?.focus()}>
        To the content
      </button>
      <TopBar {...props} />
      <main ref={main} tabIndex={-1}>
        {props.children}
      </main>
    </>
  );
}

function TopBar(props: Omit<React.ComponentProps<typeof Frame>, 'children'>): React.JSX.Element {
  const { link, name, pages, signOut } = props;
  const [theme, setTheme] = useTheme();
  return (
    <header className="topbar">
      <div className="topbar-row">
        <a className="brand" href={linkToFleet()}>
          <strong>godwit</strong>
          <span>{name}</span>
        </a>
        {pages.length === 0 ? null : (
          <nav className="topnav" aria-label="Pages">
            {pages.map(({ href, text, isHere }) => (
              <a key={text} href={href} aria-current={isHere ? 'page' : undefined}>
                {text}
              </a>
            ))}
          </nav>
        )}
        <div className="topbar-end">
          <LinkChip link={link} />
          <select
            className="theme"
            aria-label="Theme"
            value={theme}
            onChange={(event) => setTheme(event.target.value as Theme)}
          >
            {THEMES.map((each) => (
              <option key={each} value={each}>
                {THEME_NAMES[each]}
              </option>
            ))}
          </select>
          {accessToken() === undefined || signOut === null ? null : (
            <button type="button" className="quiet small" onClick={signOut}>
              Sign out
            </button>
          )}
        </div>
      </div>
    </header>
  );
}

function LinkChip({ link }: { link: LinkedState['link'] }): React.JSX.Element {
  return (
    <span role="status">
      {link === 'live' ? (
        <Chip tone="good" mark="dot">
          live
        </Chip>
      ) : link === 'connecting' ? (
        <Chip tone="calm" mark="ring">
          connecting
        </Chip>
      ) : (
        <Chip tone="bad" mark="cross">
          {link === 'denied' ? 'signed out' : 'not connected'}
        </Chip>
      )}
    </span>
  );
}

/** @param isNew - nothing was heard of it yet */
export function Lost({ problem, isNew }: { problem: GodwitError | null; isNew: boolean }): React.JSX.Element {
  if (problem !== null && problem.code !== 'GW_API_UNREACHABLE') {
    const isForbidden = problem.code === 'GW_API_FORBIDDEN';
    const title = isForbidden
      ? 'This token may not look; trying again.'
      : 'The answer is not what it should be; trying again.';
    return <ErrorNotice error={problem} title={title} />;
  }
  return (
    <Notice tone="warn" live title="No answer; trying again.">
      <span>
        VMs and migrations go on without this page{isNew ? '' : ', and what is below was so when it last answered'}. If
        it stays so: does the daemon run? Look with <code>systemctl status godwit</code>, or start it with{' '}
        <code>godwit host</code>.
      </span>
    </Notice>
  );
}
