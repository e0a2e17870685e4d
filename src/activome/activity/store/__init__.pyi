from .api import is_complete as is_complete
from .api import open_store as open_store
from .api import store_status as store_status
from .api import write_store as write_store
from .status import StoreStatus as StoreStatus
from .writer import StoreWriter as StoreWriter
