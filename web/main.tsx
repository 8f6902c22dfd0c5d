/** Where the dashboard begins: the theme before the first paint, one store, the page. */
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { HostContext } from './session/host-context.ts';
import { HostStore } from './session/host-store.ts';
import { applyTheme } from './session/theme.ts';
import './style/tokens.css';
import './style/page.css';
import './style/panels.css';
import './style/controls.css';
import './style/charts.css';

applyTheme();
const store = new HostStore(document.baseURI);
store.start();
const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no element with the id root');
createRoot(root).render(
  <StrictMode>
    <HostContext value={store}>
      <App />
    </HostContext>
  </StrictMode>,
);
