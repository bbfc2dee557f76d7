import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';

import { saveDocuments } from './documents';
import { IdleWarner } from './idle';
import { isKernelRestart, KernelDeathWarner } from './kernels';
import { ISessionWatch, SessionWatch } from './session';
import { SessionStatus } from './status';
import { WalltimeWarner, type IWalltimeSettings } from './walltime';

const watch: JupyterFrontEndPlugin<ISessionWatch> = {
  id: 'swotvre-lab:session',
  description: 'Watches size, ends and killed kernels of the session.',
  autoStart: true,
  provides: ISessionWatch,
  activate: (app: JupyterFrontEnd) =>
    new SessionWatch(app.serviceManager.serverSettings)
};

const status: JupyterFrontEndPlugin<void> = {
  id: 'swotvre-lab:status',
  description: 'Shows size and time left of the session in the status bar.',
  autoStart: true,
  requires: [ISessionWatch, IStatusBar],
  activate: (_app, session: ISessionWatch, statusBar: IStatusBar) => {
    const item = new SessionStatus();
    session.follow(now => item.present(now));
    statusBar.registerStatusItem('swotvre-lab:status', {
      item,
      align: 'right',
      rank: 100,
      priority: 1,
      isActive: () => item.known,
      activeStateChanged: item.knownChanged
    });
  }
};

const walltime: JupyterFrontEndPlugin<void> = {
  id: 'swotvre-lab:walltime',
  description: 'Tells the user before the walltime ends and saves documents.',
  autoStart: true,
  requires: [ISessionWatch, ISettingRegistry],
  activate: async (
    app: JupyterFrontEnd,
    session: ISessionWatch,
    registry: ISettingRegistry
  ) => {
    const settings = await registry.load('swotvre-lab:walltime');
    const warner = new WalltimeWarner(
      () => settings.composite as unknown as IWalltimeSettings,
      () => saveDocuments(app.shell)
    );
    session.follow(now => void warner.look(now));
  }
};

const idle: JupyterFrontEndPlugin<void> = {
  id: 'swotvre-lab:idle',
  description: 'Tells the user before an unused session is ended.',
  autoStart: true,
  requires: [ISessionWatch],
  activate: (_app, session: ISessionWatch) => {
    const warner = new IdleWarner(() => session.keep());
    session.follow(now => warner.look(now));
  }
};

const kernels: JupyterFrontEndPlugin<void> = {
  id: 'swotvre-lab:kernels',
  description: 'Tells the user which kernels were killed for memory.',
  autoStart: true,
  requires: [ISessionWatch],
  activate: (app: JupyterFrontEnd, session: ISessionWatch) => {
    const { events, serverSettings } = app.serviceManager;
    const warner = new KernelDeathWarner(serverSettings.baseUrl);
    session.follow(now => warner.look(now));
    events.stream.connect((_sender, event) => {
      if (isKernelRestart(event)) {
        session.refresh();
      }
    });
  }
};

export default [watch, status, walltime, idle, kernels];
