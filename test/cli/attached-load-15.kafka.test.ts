import {describeLoad} from './attached-load-tests.ts';

describeLoad(15);
