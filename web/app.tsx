/**
 * The frame around every page: where one is, how the connection is, the theme; and which page the address means.
 *
 * Must hold: a new page takes the focus at its title, so that keyboard and screen reader go on from there.
 */
import { useEffect, useRef } from 'react';
import { MigratePage } from './pages/migrate-page.tsx';
import { MigrationPage } from './pages/migration-page.tsx';
import { MigrationsPage } from './pages/migrations-page.tsx';
import { OverviewPage } from './pages/overview-page.tsx';
import { SignInPage } from './pages/sign-in-page.tsx';
import { VmPage } from './pages/vm-page.tsx';
import { ErrorNotice, Notice } from './parts/notice.tsx';
import { PageHead } from './parts/panel.tsx';
import { Chip } from './parts/state-chip.tsx';
import { accessToken } from './session/access-token.ts';
import { useHostState, useHostStore } from './session/host-context.ts';
import type { HostState } from './session/host-state.ts';
import { linkTo, useRoute } from './session/route.ts';
import { THEMES, type Theme, useTheme } from './session/theme.ts';

const THEME_NAMES: Readonly<Record<Theme, string>> = { system: 'As the system', light: 'Light', dark: 'Dark' };

export function App(): React.JSX.Element {
  const state = useHostState();
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
      <TopBar state={state} place={route[0] ?? ''} />
      <main ref={main} id="main" tabIndex={-1}>
        {state.link === 'lost' ? <Lost state={state} /> : null}
        {state.link === 'denied' ? (
          <SignInPage problem={state.problem} />
        ) : (
          <Page key={where} route={route} state={state} />
        )}
      </main>
    </>
  );
}

function Page({ route, state }: { route: readonly string[]; state: HostState }): React.JSX.Element {
  const [place, name, action] = route;
  if (state.host === null) return state.link === 'lost' ? <span /> : <p className="soft">Asking the host…</p>;
  if (place === undefined) return <OverviewPage />;
  if (place === 'migrations' && name === undefined) return <MigrationsPage />;
  if (place === 'migrations' && name !== undefined) return <MigrationPage id={name} />;
  if (place === 'vms' && name !== undefined && action === 'migrate') return <MigratePage name={name} />;
  if (place === 'vms' && name !== undefined) return <VmPage name={name} />;
  return (
    <>
      <PageHead title="There is no such page" />
      <p>
        <a href={linkTo()}>Go to the overview</a>
      </p>
    </>
  );
}

function TopBar({ state, place }: { state: HostState; place: string }): React.JSX.Element {
  const store = useHostStore();
  const [theme, setTheme] = useTheme();
  const pages = [
    { path: [], text: 'Overview', isHere: place === '' || place === 'vms' },
    { path: ['migrations'], text: 'Migrations', isHere: place === 'migrations' },
  ];
  return (
    <header className="topbar">
      <div className="topbar-row">
        <a className="brand" href={linkTo()}>
          <strong>godwit</strong>
          <span>{state.host?.name ?? ''}</span>
        </a>
        <nav className="topnav" aria-label="Pages">
          {pages.map(({ path, text, isHere }) => (
            <a key={text} href={linkTo(...path)} aria-current={isHere ? 'page' : undefined}>
              {text}
            </a>
          ))}
        </nav>
        <div className="topbar-end">
          <LinkState state={state} />
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
          {accessToken() === undefined || state.link === 'denied' ? null : (
            <button type="button" className="quiet small" onClick={() => store.signOut()}>
              Sign out
            </button>
          )}
        </div>
      </div>
    </header>
  );
}

function LinkState({ state }: { state: HostState }): React.JSX.Element {
  return (
    <span role="status" aria-label="Connection to the host">
      {state.link === 'live' ? (
        <Chip tone="good" mark="dot">
          live
        </Chip>
      ) : state.link === 'connecting' ? (
        <Chip tone="calm" mark="ring">
          connecting
        </Chip>
      ) : (
        <Chip tone="bad" mark="cross">
          {state.link === 'denied' ? 'signed out' : 'not connected'}
        </Chip>
      )}
    </span>
  );
}

function Lost({ state }: { state: HostState }): React.JSX.Element {
  if (state.problem !== null && state.problem.code !== 'GW_API_UNREACHABLE') {
    return <ErrorNotice error={state.problem} title="The host does not answer as it should; trying again." />;
  }
  return (
    <Notice tone="warn" live title="The host does not answer; trying again.">
      <span>
        VMs and migrations go on without this page
        {state.host === null ? '' : ', and what is below was so when it last did'}. If it stays so: is the daemon
        running (<code>systemctl status godwit</code>, or start it with <code>godwit host</code>)?
      </span>
    </Notice>
  );
}
