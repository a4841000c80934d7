import {describeUninstall} from './attached-uninstall-tests.ts';

describeUninstall(18);
