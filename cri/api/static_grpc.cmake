# gRPC, protobuf and Abseil as archives: an idle daemon then has 8 MB PSS and no 57 libraries to
# load (14 MB, 17-76 ms to the socket, docs/design/rpc.md). libc stays dynamic.
#   crisp_protobuf   messages only
#   crisp_grpc       server and client without TLS: the CRI is a unix socket
# Debian's CMake packages name the shared objects of Abseil; the archives lie beside them. Both in
# one process would be two copies of every Abseil object, so all imported targets are turned.
set(absl_archives)
get_property(imported DIRECTORY ${CMAKE_SOURCE_DIR} PROPERTY IMPORTED_TARGETS)
foreach(target ${imported})
  if(NOT target MATCHES "^absl::")
    continue()
  endif()
  get_target_property(shared ${target} IMPORTED_LOCATION_NONE)
  if(shared)
    string(REGEX REPLACE "\\.so(\\.[0-9]+)*$" ".a" archive ${shared})
    if(EXISTS ${archive})
      set_target_properties(${target} PROPERTIES IMPORTED_LOCATION_NONE ${archive})
      list(APPEND absl_archives ${archive})
    endif()
  endif()
endforeach()

find_library(PROTOBUF_ARCHIVE libprotobuf.a REQUIRED)
# For find_package(Protobuf) in other folders: the same archive, never a second copy as .so.
set(Protobuf_LIBRARY_RELEASE ${PROTOBUF_ARCHIVE} CACHE FILEPATH "libprotobuf.a" FORCE)
set(Protobuf_LIBRARY_DEBUG ${PROTOBUF_ARCHIVE} CACHE FILEPATH "libprotobuf.a" FORCE)
add_library(crisp_protobuf INTERFACE)
target_link_libraries(crisp_protobuf INTERFACE ${PROTOBUF_ARCHIVE} ZLIB::ZLIB Threads::Threads)

# pkg-config --static grpc++_unsecure forgets upb, re2, address_sorting and cares. CMake takes
# Abseil's targets for shared objects and does not order them as archives: the group does.
set(archives)
foreach(name grpc++_unsecure grpc_unsecure gpr upb re2 address_sorting cares)
  find_library(ARCHIVE_${name} lib${name}.a REQUIRED)
  list(APPEND archives ${ARCHIVE_${name}})
endforeach()
add_library(crisp_grpc INTERFACE)
target_link_libraries(crisp_grpc INTERFACE
  "-Wl,--start-group" ${archives} ${absl_archives} "-Wl,--end-group" ${ZLIB_LIBRARIES}
  crisp_protobuf)
