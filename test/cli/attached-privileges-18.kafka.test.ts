import {describeLeastPrivileges} from './attached-privileges-tests.ts';

describeLeastPrivileges(18);
